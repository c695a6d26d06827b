-- Lists what a build passed over. No binds. Result: type, events.
SELECT type, events FROM pacioli_passed_over ORDER BY type
