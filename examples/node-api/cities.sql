CREATE TABLE city (name TEXT PRIMARY KEY, country TEXT NOT NULL, inhabitants INTEGER NOT NULL) STRICT;
INSERT INTO city VALUES
  ('Paris', 'FR', 2103000), ('Lyon', 'FR', 522000), ('Berlin', 'DE', 3782000), ('Hamburg', 'DE', 1910000),
  ('Wien', 'AT', 2006000), ('Lisboa', 'PT', 567000), ('Porto', 'PT', 249000), ('Oslo', 'NO', 717000);
