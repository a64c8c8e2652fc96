/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmds - the commands themselves, for the table in mhactl.c; each lives in the file named beside
 * it.
 */
#pragma once
#include "cmd.h"

int cmd_check_ssh(struct cmd *c, int argc, char **argv);       /* cmd_ssh.c */
int cmd_check_repl(struct cmd *c, int argc, char **argv);      /* cmd_repl.c */
int cmd_check_config(struct cmd *c, int argc, char **argv);    /* cmd_config.c */
int cmd_config_show(struct cmd *c, int argc, char **argv);     /* cmd_config.c */
int cmd_config_explain(struct cmd *c, int argc, char **argv);  /* cmd_config.c */
int cmd_config_convert(struct cmd *c, int argc, char **argv);  /* cmd_config.c */
int cmd_config_sample(struct cmd *c, int argc, char **argv);   /* cmd_config.c */
int cmd_config_manual(struct cmd *c, int argc, char **argv);   /* cmd_config.c */
int cmd_check_hooks(struct cmd *c, int argc, char **argv);     /* cmd_hooks.c */
int cmd_check_migrate(struct cmd *c, int argc, char **argv);   /* cmd_migrate.c */
int cmd_topology(struct cmd *c, int argc, char **argv);        /* cmd_topology.c */
int cmd_secondary_check(struct cmd *c, int argc, char **argv); /* cmd_secondary.c */
int cmd_manager(struct cmd *c, int argc, char **argv);         /* cmd_manager.c */
int cmd_master_monitor(struct cmd *c, int argc, char **argv);  /* cmd_manager.c */
int cmd_check_status(struct cmd *c, int argc, char **argv);    /* cmd_check_status.c */
int cmd_stop(struct cmd *c, int argc, char **argv);            /* cmd_stop.c */
int cmd_conf_host(struct cmd *c, int argc, char **argv);       /* cmd_conf_host.c */
int cmd_via(struct cmd *c, int argc, char **argv);             /* cmd_via.c */
int cmd_status(struct cmd *c, int argc, char **argv);          /* cmd_live.c, as all below */
int cmd_why(struct cmd *c, int argc, char **argv);
int cmd_pause(struct cmd *c, int argc, char **argv);
int cmd_resume(struct cmd *c, int argc, char **argv);
int cmd_ack(struct cmd *c, int argc, char **argv);
int cmd_reload(struct cmd *c, int argc, char **argv);
int cmd_history(struct cmd *c, int argc, char **argv);
int cmd_master_switch(struct cmd *c, int argc, char **argv); /* cmd_failover.c */
int cmd_failover(struct cmd *c, int argc, char **argv);      /* cmd_failover.c */
int cmd_rehearse(struct cmd *c, int argc, char **argv);      /* cmd_rehearse.c */
int cmd_plan_failover(struct cmd *c, int argc, char **argv); /* cmd_plan.c */
int cmd_report(struct cmd *c, int argc, char **argv);        /* cmd_plan.c */
int cmd_switch(struct cmd *c, int argc, char **argv);        /* cmd_switch.c */
int cmd_plan_switch(struct cmd *c, int argc, char **argv);   /* cmd_switch.c */
int cmd_move(struct cmd *c, int argc, char **argv);          /* cmd_move.c, as the three below */
int cmd_plan_move(struct cmd *c, int argc, char **argv);
int cmd_flatten(struct cmd *c, int argc, char **argv);
int cmd_plan_flatten(struct cmd *c, int argc, char **argv);
int cmd_check_semisync(struct cmd *c, int argc, char **argv); /* cmd_semisync.c, as all below */
int cmd_plan_semisync(struct cmd *c, int argc, char **argv);
int cmd_semisync_enable(struct cmd *c, int argc, char **argv);
int cmd_semisync_repair(struct cmd *c, int argc, char **argv);
int cmd_rejoin(struct cmd *c, int argc, char **argv);      /* cmd_rejoin.c */
int cmd_plan_rejoin(struct cmd *c, int argc, char **argv); /* cmd_rejoin.c */
int cmd_ring_close(struct cmd *c, int argc, char **argv); /* cmd_ring.c */
int cmd_ring_open(struct cmd *c, int argc, char **argv);  /* cmd_ring.c */
