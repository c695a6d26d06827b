-- Begins the transaction of a batch. No binds.
BEGIN IMMEDIATE
