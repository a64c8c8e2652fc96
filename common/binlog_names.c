/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * binlog_names - words for event types and for the ends of logs, declared in binlog.h.
 * Runs on: any thread.
 */
#include "binlog.h"

static const char *const type_names[256] = {
	[BINLOG_START_V3] = "Start_v3",
	[BINLOG_QUERY] = "Query",
	[BINLOG_STOP] = "Stop",
	[BINLOG_ROTATE] = "Rotate",
	[BINLOG_INTVAR] = "Intvar",
	[BINLOG_SLAVE] = "Slave",
	[BINLOG_APPEND_BLOCK] = "Append_block",
	[BINLOG_DELETE_FILE] = "Delete_file",
	[BINLOG_RAND] = "RAND",
	[BINLOG_USER_VAR] = "User var",
	[BINLOG_FORMAT] = "Format_desc",
	[BINLOG_XID] = "Xid",
	[BINLOG_BEGIN_LOAD_QUERY] = "Begin_load_query",
	[BINLOG_EXECUTE_LOAD_QUERY] = "Execute_load_query",
	[BINLOG_TABLE_MAP] = "Table_map",
	[BINLOG_WRITE_ROWS_V1] = "Write_rows_v1",
	[BINLOG_UPDATE_ROWS_V1] = "Update_rows_v1",
	[BINLOG_DELETE_ROWS_V1] = "Delete_rows_v1",
	[BINLOG_INCIDENT] = "Incident",
	[BINLOG_HEARTBEAT] = "Heartbeat",
	[BINLOG_IGNORABLE] = "Ignorable",
	[BINLOG_ROWS_QUERY] = "Rows_query",
	[BINLOG_WRITE_ROWS] = "Write_rows",
	[BINLOG_UPDATE_ROWS] = "Update_rows",
	[BINLOG_DELETE_ROWS] = "Delete_rows",
	[BINLOG_GTID] = "Gtid",
	[BINLOG_ANONYMOUS_GTID] = "Anonymous_Gtid",
	[BINLOG_PREVIOUS_GTIDS] = "Previous_gtids",
	[BINLOG_TRANSACTION_CONTEXT] = "Transaction_context",
	[BINLOG_VIEW_CHANGE] = "View_change",
	[BINLOG_XA_PREPARE] = "XA_prepare",
	[BINLOG_PARTIAL_UPDATE_ROWS] = "Update_rows_partial",
	[BINLOG_TRANSACTION_PAYLOAD] = "Transaction_payload",
	[BINLOG_HEARTBEAT_V2] = "Heartbeat",
	[BINLOG_GTID_TAGGED] = "Gtid_tagged_log_event",
	[BINLOG_LARGE_TRANSACTION_HEADER] = "Large_transaction_header",
	[BINLOG_ANNOTATE_ROWS] = "Annotate_rows",
	[BINLOG_CHECKPOINT] = "Binlog_checkpoint",
	[BINLOG_MARIADB_GTID] = "Gtid",
	[BINLOG_GTID_LIST] = "Gtid_list",
	[BINLOG_START_ENCRYPTION] = "Start_encryption",
	[BINLOG_QUERY_COMPRESSED] = "Query_compressed",
	[BINLOG_WRITE_ROWS_COMPRESSED_V1] = "Write_rows_compressed_v1",
	[BINLOG_UPDATE_ROWS_COMPRESSED_V1] = "Update_rows_compressed_v1",
	[BINLOG_DELETE_ROWS_COMPRESSED_V1] = "Delete_rows_compressed_v1",
	[BINLOG_WRITE_ROWS_COMPRESSED] = "Write_rows_compressed",
	[BINLOG_UPDATE_ROWS_COMPRESSED] = "Update_rows_compressed",
	[BINLOG_DELETE_ROWS_COMPRESSED] = "Delete_rows_compressed",
};

const char *binlog_type_name(uint8_t type)
{
	return type_names[type] ? type_names[type] : "Unknown";
}

const char *binlog_next_name(enum binlog_next n)
{
	static const char *const names[] = {
		[BINLOG_EVENT] = "event",
		[BINLOG_END] = "end",
		[BINLOG_TORN] = "torn",
		[BINLOG_ZEROS] = "zeros",
		[BINLOG_GARBAGE] = "garbage",
		[BINLOG_BAD_CRC] = "bad_checksum",
		[BINLOG_ENCRYPTED] = "encrypted",
		[BINLOG_UNREADABLE] = "unreadable",
	};

	return names[n];
}
