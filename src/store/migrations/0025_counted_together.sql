-- What comes into an account is counted by who adds it, all that comes at once together: for a statement that fires a trigger
-- SQLite keeps a copy of each page that it changes.
DROP TRIGGER message_came;
