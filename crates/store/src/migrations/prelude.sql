-- What SQLite has and our statements use, under its names. Only PostgreSQL reads this file.

-- The text at a path like `$.name` or `$.metadata."key"` of a body.
CREATE FUNCTION json_extract(body TEXT, path TEXT) RETURNS TEXT LANGUAGE SQL IMMUTABLE AS
  'SELECT CASE WHEN path LIKE ''$.metadata."%''
     THEN CAST(body AS JSONB) #>> ARRAY[''metadata'', substr(path, 13, length(path) - 13)]
     ELSE CAST(body AS JSONB) ->> substr(path, 3) END';

CREATE FUNCTION instr(whole TEXT, part TEXT) RETURNS BIGINT LANGUAGE SQL IMMUTABLE AS
  'SELECT CAST(strpos(whole, part) AS BIGINT)';
