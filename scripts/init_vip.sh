#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Give the service address to the master for the first time:  init_vip.sh MASTER_HOST
#
# Refuses when any other host answers for the address.  The address is described in /etc/mhad/vip.conf, see vip_common.sh.
. "$(dirname "$0")/vip_common.sh"
[ $# = 1 ] || die "usage: ${0##*/} MASTER_HOST"
vip_load
vip_on "$1" --add || die "$VIP was not set up on $1 (exit status $?)"
