#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Take the service addresses from a host:  drop_vip.sh HOST
#
# Succeeds also when the host does not have them.  They are described in /etc/mhad/vip.conf, see vip_common.sh.
here=${0%/*}
[ "$here" != "$0" ] || here=.
# shellcheck source=scripts/vip_common.sh
. "$here/vip_common.sh"
[ $# = 1 ] || die "usage: ${0##*/} HOST"
vip_load
vip_all "$1" 10 "$VIP $READ_VIP" --drop || die "$VIP was not taken from $1 (exit status $?)"
