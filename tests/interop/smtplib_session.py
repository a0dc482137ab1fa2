"""Submissions by Python's smtplib to the local face: host, port, user, password. Prints `ok`."""
import smtplib
import sys
from email.message import EmailMessage

host, port, user, password = sys.argv[1:]

with smtplib.SMTP(host, int(port)) as smtp:
    smtp.ehlo()
    try:
        smtp.login(user, "wrong")
    except smtplib.SMTPAuthenticationError as error:
        assert error.smtp_code == 535, error
    else:
        raise AssertionError("a wrong password was taken")

with smtplib.SMTP(host, int(port)) as smtp:
    smtp.ehlo()
    for wanted in ("auth", "size", "8bitmime"):
        assert smtp.has_extn(wanted), (wanted, smtp.esmtp_features)
    try:
        smtp.sendmail("ada@home.example", ["bob@far.example"], b"Subject: too early\r\n\r\n")
    except smtplib.SMTPException:
        smtp.rset()
    else:
        raise AssertionError("mail was taken before a login")
    smtp.login(user, password)
    message = EmailMessage()
    message["From"] = "ada@home.example"
    message["To"] = "bob@far.example"
    message["Cc"] = "eve@far.example"
    message["Subject"] = "Grüße von smtplib"
    message["Message-ID"] = "<smtplib.1@home.example>"
    message.set_content(".\n..\nEin Punkt am Anfang, 日本語 in der Mitte.\n")
    message.add_attachment(bytes(range(256)) * 40, maintype="application", subtype="octet-stream", filename="b.bin")
    assert smtp.send_message(message) == {}
    text = "Message-ID: <smtplib.2@home.example>\n\nsmtplib makes these line ends CRLF\n"
    assert smtp.sendmail("ada@home.example", ["bob@far.example"], text) == {}
    # Bytes it sends as they are; bare line feeds are how mail is smuggled past a server.
    try:
        smtp.sendmail("ada@home.example", ["bob@far.example"], text.encode())
    except smtplib.SMTPDataError as error:
        assert error.smtp_code == 554, error
    else:
        raise AssertionError("bare line feeds were taken")
print("ok")
