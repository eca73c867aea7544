-- Where agents find a server: those of one that drains are told of the others.
ALTER TABLE registrations ADD COLUMN address text COLLATE "C";
