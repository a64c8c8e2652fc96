#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Give the service addresses to the master for the first time:  init_vip.sh MASTER_HOST
#
# Refuses when any other host answers for one.  They are described in /etc/mhad/vip.conf, see vip_common.sh.
here=${0%/*}
[ "$here" != "$0" ] || here=.
# shellcheck source=scripts/vip_common.sh
. "$here/vip_common.sh"
[ $# = 1 ] || die "usage: ${0##*/} MASTER_HOST"
vip_load
vip_take "$1" "$VIP_ASK_MS" || die "$VIP was not set up on $1 (exit status $?)"
# shellcheck disable=SC2034 # of vip_common.sh
new_host=$1
read_vip_place '' || die "$READ_VIP was not set up (exit status $?)"
