-- Lists the epochs after the first. No binds. Result: epoch, began.
SELECT epoch, began FROM epochs ORDER BY epoch
