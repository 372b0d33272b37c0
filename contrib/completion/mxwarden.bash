# Completion of mxwarden(8) for bash: verbs, options, levels, rule sets, and the
# addresses that are blocked now. Needs nothing but bash; with the package
# bash-completion, IPv6 addresses are completed behind their colons, too.

# The configuration that -c names, else the one that is installed.
_mxwarden_conf()
{
	local i

	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-c | --config)
			echo "${COMP_WORDS[i + 1]}"
			return
			;;
		esac
	done
	mxwarden --help | sed -n 's/.*--config FILE *configuration (\(.*\))$/\1/p'
}

_mxwarden_levels()
{
	sed -n 's/^[[:space:]]*level[[:space:]]*"\([^"]*\)".*/\1/p' \
	    "$(_mxwarden_conf)" 2>/dev/null
}

_mxwarden_sets()
{
	sed -n 's/^[[:space:]]*include("\(.*\/\)*\([^"]*\)\.conf").*/\2/p' \
	    "$(_mxwarden_conf)" 2>/dev/null
}

_mxwarden_blocked()
{
	mxwarden -c "$(_mxwarden_conf)" list 2>/dev/null |
	    sed -n 's/^\([0-9a-f][0-9a-f.:/]*\) .*/\1/p'
}

_mxwarden()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local verb='' place=0 i words='' files=''
	local verbs='status list top show block unblock forgive allow watch
	    firewall reload ask check explain replay'
	local options='-c --config -s --socket --json -h --help -V --version'

	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-c | --config | -s | --socket | -l | --level | -n | --count | \
		    -t | --time | -r | --reason | -i | --interval | \
		    --rules | --unmatched)
			((i++))
			;;
		-*) ;;
		*)
			if [[ -z $verb ]]; then
				verb=${COMP_WORDS[i]}
			else
				((place++))
			fi
			;;
		esac
	done

	case $verb in
	list) options+=' -l --level' ;;
	top) options+=' -n --count -i --interval' ;;
	block) options+=' -l --level -t --time -r --reason' ;;
	unblock) options+=' --all' ;;
	watch) options+=' --offences' ;;
	explain) options+=' --rules' ;;
	replay) options+=' --decisions -n --count --rules --unmatched' ;;
	esac

	case $prev in
	-c | --config | -s | --socket) files=yes ;;
	-l | --level) words=$(_mxwarden_levels) ;;
	--rules) words=$(_mxwarden_sets) ;;
	-t | --time) words='10m 1h 1d 7d' ;;
	-i | --interval) words='1s 2s 10s' ;;
	-n | --count | -r | --reason | --unmatched) ;;
	*)
		case $cur:$verb:$place in
		-*) words=$options ;;
		*::0) words=$verbs ;;
		*:firewall:0) words='check repair' ;;
		*:allow:0) words='add del list' ;;
		*:show:0 | *:unblock:0 | *:forgive:0) words=$(_mxwarden_blocked) ;;
		*:ask:0) words='inet: unix:' ;;
		*:ask:*) words='client_address= sasl_username= sender= recipient=' ;;
		*:replay:*) files=yes ;;
		esac
		;;
	esac

	COMPREPLY=()
	if [[ -n $files ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		compopt -o filenames 2>/dev/null
	elif [[ -n $words ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
		if declare -F __ltrim_colon_completions >/dev/null; then
			__ltrim_colon_completions "$cur"
		fi
	fi
	if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=:] ]]; then
		compopt -o nospace 2>/dev/null
	fi
	return 0
}

complete -F _mxwarden mxwarden
