-- Reads all rows of a relation of a read model. Placeholder: {relation}, quoted.
SELECT * FROM {relation}
