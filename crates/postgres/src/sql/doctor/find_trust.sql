-- Lists the rules that let clients in without asking who they are. For superusers. No binds.
SELECT 'line ' || line_number || ': ' || concat_ws(' ', type, array_to_string(database, ','), array_to_string(user_name, ','), address)
  FROM pg_hba_file_rules WHERE auth_method = 'trust' ORDER BY line_number
