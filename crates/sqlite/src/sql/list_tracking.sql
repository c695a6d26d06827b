-- Lists where consumers stand. No binds. Result: name, checkpoint.
SELECT name, checkpoint FROM tracking ORDER BY name
