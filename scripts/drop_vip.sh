#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Take the service address from a host:  drop_vip.sh HOST
#
# Succeeds also when the host does not have it.  The address is described in /etc/mhad/vip.conf, see vip_common.sh.
. "$(dirname "$0")/vip_common.sh"
[ $# = 1 ] || die "usage: ${0##*/} HOST"
vip_load
vip_on "$1" --drop || die "$VIP was not taken from $1 (exit status $?)"
