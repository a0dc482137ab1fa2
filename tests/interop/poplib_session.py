"""A session of Python's poplib with the local face: host, port, user, password. Deletes the first message. Prints `ok`."""
import poplib
import sys

host, port, user, password = sys.argv[1:]


def session():
    pop = poplib.POP3(host, int(port))
    pop.user(user)
    pop.pass_(password)
    return pop


pop = poplib.POP3(host, int(port))
assert "UIDL" in pop.capa() and "TOP" in pop.capa(), pop.capa()
try:
    pop.user(user)
    pop.pass_("wrong")
except poplib.error_proto:
    pop.close()
else:
    raise AssertionError("a wrong password was taken")

pop = session()
count, size = pop.stat()
assert count > 2, count
listed = [int(line.split()[1]) for line in pop.list()[1]]
assert len(listed) == count and sum(listed) == size, (listed, size)
uids = [line.split()[1] for line in pop.uidl()[1]]
assert len(set(uids)) == count, uids
lines = pop.retr(1)[1]
assert sum(len(line) + 2 for line in lines) == listed[0], (lines, listed[0])
top = pop.top(1, 0)[1]
assert lines[: len(top)] == top, top
pop.dele(1)
pop.rset()
pop.dele(2)
assert pop.stat()[0] == count - 1
# A connection that just breaks deletes nothing (RFC 1939 section 6).
pop.close()

pop = session()
assert [line.split()[1] for line in pop.uidl()[1]] == uids
pop.dele(1)
pop.quit()

pop = session()
assert [line.split()[1] for line in pop.uidl()[1]] == uids[1:]
pop.quit()
print("ok")
