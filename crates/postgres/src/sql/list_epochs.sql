-- Lists the epochs with the heads at which each began. No binds.
SELECT epoch, heads FROM epochs ORDER BY epoch
