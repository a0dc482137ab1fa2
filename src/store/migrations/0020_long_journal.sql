-- In a long journal, the few entries that are acts on mailboxes, and those that are under way or set aside.
CREATE INDEX journal_folders ON journal (account_id, id)
  WHERE kind IN ('create-mailbox', 'rename-mailbox', 'delete-mailbox', 'subscribe');
CREATE INDEX journal_set_aside ON journal (account_id, id) WHERE state <> 'pending';
