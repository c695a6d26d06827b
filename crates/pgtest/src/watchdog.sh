# Removes a cluster when the process that made it has gone, however it went.
# $1: the cluster's directory. Standard input: the process id of its server at each start, an empty line after each stop.
# The system closes that pipe when the process at its other end has ended, also after SIGKILL.

trap '' HUP INT

server=
while read -r line; do
    server=$line
done

# 10 s for an immediate shutdown, of which the server itself gives its processes 5 s; then by force.
if [ -n "$server" ] && kill -QUIT "$server" 2>/dev/null; then
    tries=0
    while [ "$tries" -lt 100 ] && kill -0 "$server" 2>/dev/null; do
        sleep 0.1
        tries=$((tries + 1))
    done
    kill -KILL "$server" 2>/dev/null
fi
rm -rf "$1"
