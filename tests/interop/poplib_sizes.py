"""Python's poplib asks for the sizes of a maildrop and for its messages, without UTF8 and with it: host, port, user,
password, how many messages. Prints `ok`."""
import poplib
import sys

host, port, user, password, count = sys.argv[1:]


def session(utf8):
    pop = poplib.POP3(host, int(port))
    if utf8:
        pop.utf8()
    pop.user(user)
    pop.pass_(password)
    return pop


told = {}
for utf8 in (False, True):
    pop = session(utf8)
    listed = [int(line.split()[1]) for line in pop.list()[1]]
    sent, ascii = [], True
    for number in range(1, len(listed) + 1):
        _, lines, octets = pop.retr(number)
        sent.append(octets)
        header = lines[: lines.index(b"")]
        ascii = ascii and all(line.isascii() for line in header)
    assert len(listed) == int(count), listed
    assert listed == sent, (utf8, listed, sent)
    assert pop.stat() == (len(sent), sum(sent)), (utf8, pop.stat(), sent)
    assert ascii == (not utf8), utf8
    told[utf8] = sent
    pop.quit()
assert told[False] != told[True], told
print("ok")
