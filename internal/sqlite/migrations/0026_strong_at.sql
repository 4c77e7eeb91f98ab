-- When a session was last proved with a second factor, which a fresh proof
-- without one does not renew. Of those that are, only that it was after they
-- began is known.
ALTER TABLE sessions ADD COLUMN strong_at INTEGER;
UPDATE sessions
SET strong_at = created_at
WHERE ' ' || methods || ' ' LIKE '% passkey %'
	OR ' ' || methods || ' ' LIKE '% mfa %'
	OR ' ' || methods || ' ' LIKE '% totp %'
	OR ' ' || methods || ' ' LIKE '% recovery %';
