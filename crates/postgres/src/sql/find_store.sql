-- Whether a schema holds a store: others have a table `migrations` too. $1 text: the schema.
SELECT EXISTS (SELECT FROM pg_attribute
                WHERE attrelid = to_regclass($1 || '.migrations') AND attname = 'definitions_version' AND NOT attisdropped)
