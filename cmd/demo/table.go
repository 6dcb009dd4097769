package main

import (
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// tableWidth is the width of every table: they stand under each other, on 80 columns.
const tableWidth = 74

// cellWidth is what longer cells are cut at.
const cellWidth = 44

// A grid is a table of the screen: its first column is text, the others are numbers unless said otherwise.
type grid struct {
	screen *screen
	table.Writer
}

// grid begins a table. A column whose name ends in a blank is text, and left-aligned.
func (s *screen) grid(title string, columns ...string) *grid {
	g := &grid{screen: s, Writer: table.NewWriter()}
	g.SetStyle(s.tableStyle())
	g.SetTitle("%s", title)
	header, configs := make(table.Row, len(columns)), make([]table.ColumnConfig, len(columns))
	for i, name := range columns {
		align := text.AlignRight
		if i == 0 || strings.HasSuffix(name, " ") {
			align = text.AlignLeft
		}
		header[i] = strings.TrimSpace(name)
		configs[i] = table.ColumnConfig{
			Number: i + 1, Align: align, AlignHeader: align, AlignFooter: align,
			WidthMax: cellWidth, WidthMaxEnforcer: func(t string, w int) string { return text.Snip(t, w, "…") },
		}
	}
	g.SetColumnConfigs(configs)
	if strings.Join(columns, "") != "" {
		g.AppendHeader(header)
	}
	return g
}

func (s *screen) tableStyle() table.Style {
	style := table.StyleRounded
	style.Options.SeparateColumns = false
	style.Format.Header, style.Format.Footer = text.FormatDefault, text.FormatDefault
	style.Size.WidthMin, style.Size.WidthMax = tableWidth, tableWidth
	if s.colour {
		faint := text.Colors{text.FgHiBlack}
		style.Color.Border, style.Color.Separator, style.Color.Header = faint, faint, faint
		style.Color.Footer, style.Title.Colors = text.Colors{text.Bold}, text.Colors{text.Bold}
	}
	return style
}

func (g *grid) row(cells ...any) { g.AppendRow(shown(cells)) }

func (g *grid) footer(cells ...any) { g.AppendFooter(shown(cells)) }

// shown prints counts with thousands.
func shown(cells []any) table.Row {
	row := make(table.Row, len(cells))
	for i, c := range cells {
		switch n := c.(type) {
		case int:
			row[i] = thousands(n)
		case uint64:
			row[i] = thousands(n)
		default:
			row[i] = c
		}
	}
	return row
}

func (g *grid) print() {
	g.screen.print("\n")
	g.screen.say("%s", g.Render())
}
