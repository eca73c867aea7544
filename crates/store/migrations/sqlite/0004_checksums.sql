-- Each page has a checksum. Programs that know nothing of them would leave wrong ones behind, and must not use the file.
UPDATE meta SET value = 4 WHERE name = 'min_version';
