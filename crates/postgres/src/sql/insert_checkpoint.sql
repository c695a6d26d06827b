-- Notes where a consumer stands that never stood anywhere; fails where somebody else was first. $1 text: its name. $2 text.
INSERT INTO checkpoints (name, checkpoint) VALUES ($1, $2)
