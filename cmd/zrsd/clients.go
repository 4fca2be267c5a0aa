package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/internal/admin"
)

const clientsHelp = `Lists the ZEO connections of the process with the --admin address ADDR, the oldest first: the
client, reader or writer, and what it is doing now, such as waiting for the commit lock or holding it.
OUTBOX is what it has not read yet; the numbers after that are totals of the connection.

PROTOCOL is the encoding of ZEO's protocol 5. Clients announce no version of their own.`

func clientsCommand() *cobra.Command {
	var opt askFlags
	cmd := &cobra.Command{
		Use:     "clients ADDR [--storage NAME] [--json]",
		Short:   "list the ZEO clients of a server",
		Long:    clientsHelp,
		Example: "  zrsd clients 127.0.0.1:5001",
		Args:    arguments("ADDR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return listClients(cmd.Context(), &opt, args[0], cmd.OutOrStdout())
		},
	}
	opt.register(cmd.Flags())
	return cmd
}

func listClients(ctx context.Context, opt *askFlags, address string, out io.Writer) error {
	addr, dial, err := opt.connect(ctx, address)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, statusTimeout, fmt.Errorf("no answer within %v", statusTimeout))
	defer cancel()
	raw, doc, err := admin.AskClients(ctx, dial, opt.storage)
	if err != nil {
		return asked("clients", addr, err)
	}
	if opt.json {
		_, err := out.Write(raw)
		return err
	}
	return admin.WriteClients(out, doc.Clients)
}
