# SPDX-License-Identifier: BSD-2-Clause
# Shared by the scripts that move the service address.  POSIX sh; sourced, not run.
#
# The address is described in a file (default /etc/mhad/vip.conf, or the file named by VIP_CONF):
#
#	VIP=10.0.0.100/24	the address with its prefix length
#	VIP_DEVICE=eth0		the interface that carries it on every database host
#	VIP_SSH_USER=root	optional: who logs in to the hosts
#	VIP_SSH_OPTIONS=...	optional: options of ssh(1); the default pins a host's key when it is first seen

set -u

die() {
	echo "${0##*/}: $*" >&2
	exit 1
}

vip_load() {
	VIP_CONF=${VIP_CONF:-/etc/mhad/vip.conf}
	[ -r "$VIP_CONF" ] || die "cannot read $VIP_CONF: it has to set VIP=ADDRESS/PREFIX and VIP_DEVICE=INTERFACE"
	VIP='' VIP_DEVICE='' VIP_SSH_USER=root VIP_SSH_OPTIONS='-o StrictHostKeyChecking=accept-new'
	# shellcheck source=/dev/null
	. "$VIP_CONF"
	case $VIP in */*) ;; *) die "$VIP_CONF: VIP=$VIP is not ADDRESS/PREFIX" ;; esac
	[ -n "$VIP_DEVICE" ] || die "$VIP_CONF does not set VIP_DEVICE"
	case $VIP$VIP_DEVICE in *[!0-9A-Za-z.:/_@-]*) die "$VIP_CONF: odd characters in VIP or VIP_DEVICE" ;; esac
}

# vip_on HOST ACTION...: mha-node vip there, at most 15 seconds.
vip_on() {
	host=$1
	shift
	# shellcheck disable=SC2086 # several words
	timeout 15 ssh -o BatchMode=yes -o ConnectTimeout=5 $VIP_SSH_OPTIONS "$VIP_SSH_USER@$host" \
		"PATH=\$PATH:/usr/local/bin mha-node vip $* --address=$VIP --device=$VIP_DEVICE"
}
