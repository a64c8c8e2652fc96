# SPDX-License-Identifier: BSD-2-Clause
# Shared by the scripts that ask database hosts for something.  POSIX sh; sourced, not run.
#
# A host is asked over the session that mhad keeps with it (mhactl via), where mhad has started the script and says so by
# MHAD_CHANNEL; else by ssh(1).

set -u

# shellcheck disable=SC2034 # what is not used here is used by who sources this
# MHA's options; what is not given stays empty.  Hosts and users end in the command line of ssh(1).
{
	command='' ssh_user='' ssh_options='' host_port=3306
	orig_host='' orig_ip='' orig_user='' orig_ssh_ip='' orig_ssh_port=''
	new_host='' new_ip='' new_user='' new_ssh_ip='' new_ssh_port=''
}

die() {
	echo "${0##*/}: $*" >&2
	exit 1
}

say() {
	echo "${0##*/}: $*"
}

is_plain() {
	case $1 in -* | *[!0-9A-Za-z.:_@%-]*) return 1 ;; esac
}

# What other versions of the manager may say more is left alone.
# shellcheck disable=SC2034
read_options() {
	for word; do
		value=${word#*=}
		case $word in
		--command=*) command=$value ;;
		--ssh_user=*) ssh_user=$value ;;
		--ssh_options=*) ssh_options=$value ;;
		--orig_master_host=* | --host=*) orig_host=$value ;;
		--orig_master_ip=* | --ip=*) orig_ip=$value ;;
		--orig_master_ssh_user=*) orig_user=$value ;;
		--orig_master_ssh_ip=* | --ssh_ip=*) orig_ssh_ip=$value ;;
		--orig_master_ssh_port=* | --ssh_port=*) orig_ssh_port=$value ;;
		--port=*) host_port=$value ;;
		--new_master_host=*) new_host=$value ;;
		--new_master_ip=*) new_ip=$value ;;
		--new_master_ssh_user=*) new_user=$value ;;
		--new_master_ssh_ip=*) new_ssh_ip=$value ;;
		--new_master_ssh_port=*) new_ssh_port=$value ;;
		*) continue ;;
		esac
		case $word in
		--command=* | --ssh_options=*) ;;
		*) is_plain "$value" || die "odd characters in ${word%%=*}" ;;
		esac
	done
}

# How ssh(1) gets to a host: to_user, to_address, to_port.
ssh_way() {
	to_user=$ssh_user to_address=$1 to_port=22
	if [ "$1" = "$orig_host" ]; then
		to_user=${orig_user:-$ssh_user}
		to_address=${orig_ssh_ip:-${orig_ip:-$1}} to_port=${orig_ssh_port:-22}
	elif [ "$1" = "$new_host" ]; then
		to_user=${new_user:-$ssh_user}
		to_address=${new_ssh_ip:-${new_ip:-$1}} to_port=${new_ssh_port:-22}
	fi
	to_user=${NODE_SSH_USER:-${to_user:-root}}
}

# node_on HOST SECONDS VERB OPTION...: mha-node there; options without blanks or quotes.  Its exit status; 255: the host did
# not answer.
node_on() {
	_host=$1 _seconds=$2
	shift 2
	if [ -n "${MHAD_CHANNEL:-}" ]; then
		mhactl via --timeout="${_seconds}000" "$_host" "$@"
		_got=$?
		case $_got in 127 | 254) ;; *) return $_got ;; esac
	fi
	is_plain "$_host" || return 255
	ssh_way "$_host"
	# shellcheck disable=SC2086 # several words
	timeout $((_seconds + 1)) ssh -n -o BatchMode=yes ${NODE_SSH_OPTIONS:-${ssh_options:--o StrictHostKeyChecking=accept-new}} \
		-o ConnectTimeout="$_seconds" -p "$to_port" "$to_user@$to_address" \
		"PATH=\$PATH:/usr/local/bin mha-node $*"
	_got=$?
	case $_got in 124 | 137 | 143) return 255 ;; esac
	return $_got
}
