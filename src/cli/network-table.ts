/** A network as `tenon network ls` lists it. */
export interface ListedNetwork {
  readonly name: string
  readonly kind?: string
  readonly ipv4?: string
  readonly ipv6?: string
  readonly guests: readonly string[]
  /** Its definition cannot be read. */
  readonly problem?: string
}

const HEAD = ['NAME', 'KIND', 'GATEWAY', 'GUESTS']
const GAP = '   '

export function networkTable(networks: readonly ListedNetwork[]): string {
  const rows = networks.map(({ name, kind = '', ipv4, ipv6, guests }) => {
    return [name, kind, [ipv4, ipv6].filter(Boolean).join(' '), guests.join(' ')]
  })
  const widths = HEAD.map((head, column) => Math.max(head.length, ...rows.map(row => row[column].length)))
  const format = (row: readonly string[]): string => row.map((cell, column) => cell.padEnd(widths[column])).join(GAP).trimEnd()
  const lines = networks.flatMap(({ problem }, index) => [format(rows[index]), ...problem === undefined ? [] : [`  ${problem}`]])
  return `${[format(HEAD), ...lines].join('\n')}\n`
}
