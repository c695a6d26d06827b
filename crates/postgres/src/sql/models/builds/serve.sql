-- Puts the views of a build in front of whoever queries. $1 text: its name. $2 int: its number. Placeholder: {catalogue}.
SELECT {catalogue}.serve($1, $2)
