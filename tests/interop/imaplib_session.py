"""A session of Python's imaplib with the local face: host, port, user, password. Prints `ok` at the end."""
import email
import imaplib
import sys

host, port, user, password = sys.argv[1:]
imap = imaplib.IMAP4(host, int(port))


def ok(answer):
    kind, data = answer
    assert kind == "OK", answer
    return data


try:
    imaplib.IMAP4(host, int(port)).login(user, "wrong")
except imaplib.IMAP4.error as error:
    assert b"AUTHENTICATIONFAILED" in error.args[0], error
else:
    raise AssertionError("a wrong password was taken")

ok(imap.authenticate("PLAIN", lambda _: b"\0" + user.encode() + b"\0" + password.encode()))
capabilities = ok(imap.capability())[0].decode().upper().split()
for wanted in ("IMAP4REV1", "IDLE", "UIDPLUS", "MOVE", "LITERAL+", "NAMESPACE", "UNSELECT", "ENABLE"):
    assert wanted in capabilities, (wanted, capabilities)
assert ok(imap.namespace())[0].startswith(b'(("" "/"))')
names = ok(imap.list())
assert any(b"\\Sent" in line for line in names), names
assert any(b"INBOX" in line for line in names), names
assert ok(imap.lsub()), "nothing is subscribed"

ok(imap.create("Python"))
ok(imap.subscribe("Python"))
message = b"From: py@here.example\r\nTo: ada@home.example\r\nSubject: From Python\r\n\r\nOne line.\r\nAnother.\r\n"
ok(imap.append("Python", "(\\Seen py)", imaplib.Time2Internaldate(1_000_000_000), message))
ok(imap.append("Python", "(\\Draft)", None, message.replace(b"From Python", b"Second")))
assert b"MESSAGES 2" in ok(imap.status("Python", "(MESSAGES UNSEEN UIDNEXT UIDVALIDITY)"))[0]
assert ok(imap.select("Python")) == [b"2"]
head, body = ok(imap.fetch("1", "(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY.PEEK[])"))[0]
assert body == message, body
assert b"\\Seen" in head and b"py" in head, head
assert email.message_from_bytes(body)["subject"] == "From Python"
assert ok(imap.fetch("1", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])"))[0][1] == b"Subject: From Python\r\n\r\n"
assert ok(imap.fetch("1", "(BODY.PEEK[TEXT]<4.6>)"))[0][1] == b"line.\r"
assert ok(imap.search(None, "SUBJECT", '"From Python"')) == [b"1"]
assert ok(imap.search(None, "NOT", "SEEN")) == [b"2"]
assert ok(imap.uid("SEARCH", "BODY", "Another")) == [b"1 2"]
assert b"\\Flagged" in ok(imap.store("1:2", "+FLAGS", "(\\Flagged)"))[0]
ok(imap.copy("1", "INBOX"))
ok(imap.uid("MOVE", "2", "INBOX"))
assert ok(imap.noop()) is not None
ok(imap.store("1", "+FLAGS", "(\\Deleted)"))
# imaplib keeps the EXPUNGE that came with MOVE.
assert ok(imap.expunge()) == [b"2", b"1"]
ok(imap.close())
ok(imap.rename("Python", '"Python moved"'))
ok(imap.unsubscribe("Python"))
ok(imap.delete('"Python moved"'))
ok(imap.enable("CONDSTORE") if "CONDSTORE" in imap.capabilities else ("OK", None))
assert imap.logout()[0] == "BYE"
print("ok")
