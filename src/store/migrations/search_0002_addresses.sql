-- The header text holds addresses also as ENVELOPE has them: all that was taken in without them is taken in anew.

DELETE FROM entry;
DELETE FROM header_text;
DELETE FROM body_text;
INSERT INTO gram (gram) VALUES ('delete-all');
INSERT INTO pair (pair) VALUES ('delete-all');
