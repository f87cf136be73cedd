import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { writtenPaths } from '../../storage/graph-paths.ts'
import { diskOrders } from './guest-boot.ts'
import { parseGuestFile } from './guest-file.ts'
import type { GuestFolder } from './home.ts'

test('a guest has its own disk first, and others with paths of its folder, described ones as what they are', async () => {
  const path = mkdtempSync(join(tmpdir(), 'tenon-guest-disk-'))
  try {
    writeFileSync(join(path, 'm.disk.yaml'), 'kind: mirror\nstate: m.state\nnodes: [a.raw, b.raw]\n')
    const folder = { path, disk: join(path, 'disk.qcow2') } as GuestFolder
    const text = 'image: debian:12\ndisks:\n  - { graph: m.disk.yaml, bus: scsi, serial: m }\n  - { kind: file, path: c.raw, readOnly: true }\n  - d.raw\n'
    const orders = await diskOrders(folder, await parseGuestFile(text, 'guest.yaml'))
    expect(orders.map(({ bus, serial }) => [bus, serial])).toEqual([[undefined, undefined], ['scsi', 'm'], [undefined, undefined], [undefined, undefined]])
    // What a suspended guest depends on.
    const written = orders.flatMap(({ graph }) => writtenPaths(graph))
    expect(written).toEqual(['disk.qcow2', 'm.state', 'a.raw', 'b.raw', 'd.raw'].map(name => join(path, name)))
  } finally {
    rmSync(path, { recursive: true })
  }
})
