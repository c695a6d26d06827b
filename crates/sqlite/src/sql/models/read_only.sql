-- Lets a connection write nothing from now on, temporary things neither. No binds.
PRAGMA query_only = ON
