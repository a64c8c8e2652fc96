# SPDX-License-Identifier: BSD-2-Clause
# Shared by the scripts that move service addresses.  POSIX sh; sourced, not run.
#
# The addresses are described by variables of the environment, or in a file (default /etc/mhad/vip.conf, or the file named
# by VIP_CONF), which is read by this shell:
#
#	VIP=10.0.0.100/24		the address of the master, with its prefix length; several are separated by blanks
#	VIP_DEVICE=eth0			the interface that carries it on every database host; ADDRESS/PREFIX@DEVICE
#					names another for one address
#	READ_VIP=10.0.0.101/24		optional: an address for readers, which stays on a slave as long as there is one
#	READ_VIP_HOSTS="db3 db2"	hosts that may have it, best first; default: those of the cluster
#	VIP_SSH_USER=root		optional: who logs in to the hosts, where mhad's own sessions are not used
#	VIP_SSH_OPTIONS=...		optional: options of ssh(1); the default pins a host's key when it is first seen
#	VIP_ASK_MS=100			optional: how long the network is asked whether anybody has the address
#	VIP_FORCE=no			yes: the new master takes the address though something answers for it that could not
#					be made to give it up

# shellcheck source=scripts/host_common.sh disable=SC2154 # `here`: the folder, set by who sources this
. "$here/host_common.sh"

check_addresses() {
	for _a in $VIP ${READ_VIP:-}; do
		case $_a in */*) ;; *) die "$VIP_CONF: VIP=$_a is not ADDRESS/PREFIX" ;; esac
		case $_a in *@?*) ;; *) [ -n "$VIP_DEVICE" ] || die "$VIP_CONF does not set VIP_DEVICE" ;; esac
	done
	case $VIP$READ_VIP$VIP_DEVICE in *[!0-9A-Za-z.:/_@\ -]*) die "$VIP_CONF: odd characters in VIP, READ_VIP or VIP_DEVICE" ;; esac
	case $VIP_ASK_MS in '' | *[!0-9]* | 0*) die "$VIP_CONF: VIP_ASK_MS=$VIP_ASK_MS is no number of milliseconds" ;; esac
}

vip_load() {
	VIP_CONF=${VIP_CONF:-/etc/mhad/vip.conf}
	_vip=${VIP:-} _device=${VIP_DEVICE:-} _read=${READ_VIP:-} _hosts=${READ_VIP_HOSTS:-} _user=${VIP_SSH_USER:-}
	_options=${VIP_SSH_OPTIONS:-} _ask=${VIP_ASK_MS:-} _force=${VIP_FORCE:-}
	VIP='' VIP_DEVICE='' READ_VIP='' READ_VIP_HOSTS='' VIP_SSH_USER='' VIP_SSH_OPTIONS='' VIP_ASK_MS='' VIP_FORCE=''
	if [ -r "$VIP_CONF" ]; then
		# shellcheck source=/dev/null
		. "$VIP_CONF"
	elif [ -z "$_vip" ]; then
		die "cannot read $VIP_CONF: it has to set VIP=ADDRESS/PREFIX and VIP_DEVICE=INTERFACE"
	fi
	VIP=${_vip:-$VIP} VIP_DEVICE=${_device:-$VIP_DEVICE} READ_VIP=${_read:-$READ_VIP}
	READ_VIP_HOSTS=${_hosts:-${READ_VIP_HOSTS:-${MHAD_HOSTS:-}}} VIP_ASK_MS=${_ask:-${VIP_ASK_MS:-100}}
	VIP_FORCE=${_force:-${VIP_FORCE:-no}}
	NODE_SSH_USER=${_user:-$VIP_SSH_USER} NODE_SSH_OPTIONS=${_options:-$VIP_SSH_OPTIONS}
	[ -n "$VIP" ] || die "$VIP_CONF does not set VIP=ADDRESS/PREFIX"
	check_addresses
}

# vip_ask HOST SECONDS ADDRESS ACTION...: mha-node vip for one of VIP or READ_VIP.  Exit status as of node_on.
vip_ask() {
	_at=$1 _limit=$2 _address=${3%%@*} _dev=$VIP_DEVICE
	case $3 in *@*) _dev=${3#*@} ;; esac
	shift 3
	node_on "$_at" "$_limit" vip "$@" --address="$_address" --device="$_dev"
}

# vip_all HOST SECONDS ADDRESSES ACTION...: for all of them at once; the highest exit status.
vip_all() {
	_where=$1 _most=$2 _list=$3 _pids='' _worst=0
	shift 3
	for _a in $_list; do
		vip_ask "$_where" "$_most" "$_a" "$@" &
		_pids="$_pids $!"
	done
	for _p in $_pids; do
		wait "$_p"
		_one=$?
		[ $_one -le $_worst ] || _worst=$_one
	done
	return $_worst
}

# Take every address of the master to HOST, when the network has been asked for so many ms.  3: somebody else has one.
vip_take() {
	vip_all "$1" 10 "$VIP" --add --timeout="$2"
}

# Enough to notice a mistake, where the address was given up or nobody had it just before.
# shellcheck disable=SC2034 # of the scripts
short_ms=20

vip_take_by_force() {
	vip_all "$1" 10 "$VIP" --add --force --timeout=1
}

# Does another host of the cluster have the address, or anybody at all?  0: no, this was asked; 1: yes; 2: nobody could
# be asked.  ADDRESS HOST-THAT-IS-LEFT-OUT.
vip_answers() {
	_found=2
	for _h in ${MHAD_HOSTS:-}; do
		[ "$_h" != "$2" ] || continue
		_out=$(vip_ask "$_h" 2 "$1" --show --json --timeout="$VIP_ASK_MS")
		case $? in
		0) say "$1 is on $_h"; return 0 ;;
		3) _found=1 ;;
		4) case $_out in *'"asked":true'*) [ $_found = 1 ] || return 0 ;; esac ;;
		esac
	done
	return $_found
}

# The address of readers, when $new_host has become the master: on the first slave that can have it.  $1: a host that
# cannot, or nothing.
read_vip_place() {
	[ -n "$READ_VIP" ] || return 0
	_best=''
	for _h in $READ_VIP_HOSTS; do
		case $_h in "$1" | "$new_host") continue ;; esac
		vip_all "$_h" 4 "$READ_VIP" --show --timeout=20 >/dev/null
		case $? in
		0) return 0 ;;
		3 | 4) _best=${_best:-$_h} ;;
		esac
	done
	if [ -n "$_best" ]; then
		vip_all "$new_host" 5 "$READ_VIP" --drop
	else
		_best=$new_host
	fi
	vip_all "$_best" 5 "$READ_VIP" --add --timeout="$VIP_ASK_MS"
}
