#!/bin/sh
# Bars this node while a file system is fuller than LIMIT percent.
# usage: disk.sh FOLDER LIMIT [SECONDS]
look() {
	while :; do
		used=$(df -P "$1" | awk 'NR == 2 { print $5 + 0 }')
		if [ -z "$used" ]; then
			echo "{\"vote\":\"bar\",\"reason\":\"$1 can't be looked at\"}"
		elif [ "$used" -gt "$2" ]; then
			echo "{\"vote\":\"bar\",\"reason\":\"$1 is $used % full\"}"
		else
			echo '{"vote":"ok"}'
		fi
		sleep "${3:-10}"
	done
}
look "$@" &

# What happens comes line by line. The order to stop does, too, and then the end.
while read -r line; do
	case $line in
	*'"event":"stop"'*) break ;;
	*'"event":"taken"'*) echo '{"log":"a group came here"}' ;;
	esac
done
kill $!
