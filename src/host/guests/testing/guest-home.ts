import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { NetworkThread } from '../../network/network-thread.ts'
import { GuestNetworks } from '../../networks/guest-networks.ts'
import { NetworkStore } from '../../networks/network-store.ts'
import { createGuest } from '../create-guest.ts'
import { parseGuestFile } from '../guest-file.ts'
import { GuestHost } from '../guest-host.ts'
import { GuestStore } from '../guest-store.ts'
import { FakeMachines } from './fake-machines.ts'

/** A home for guests that is gone after the test, and a host whose machines are fake. */
export class GuestHome {
  readonly path = mkdtempSync(join(tmpdir(), 'tenon-guests-'))
  readonly store = new GuestStore(this.path)
  readonly machines = new FakeMachines()
  readonly log: string[] = []
  readonly host: GuestHost

  /** With a network thread, guests have networks. */
  constructor(thread?: NetworkThread) {
    const log = (message: string): void => void this.log.push(message)
    const networks = thread && new GuestNetworks({ store: new NetworkStore(this.path), startThread: () => thread, log })
    this.host = new GuestHost({ store: this.store, domain: 'default', startMachine: this.machines.start, resumeMachine: this.machines.resume, networks, log })
    onTestFinished(() => rmSync(this.path, { recursive: true, force: true }))
  }

  /** A guest with a kernel of its own, and fields of guest.yaml. */
  async make(name: string, fields = ''): Promise<void> {
    const kernel = join(this.path, 'kernel')
    writeFileSync(kernel, 'KERNEL')
    await createGuest(this.store, name, await parseGuestFile(`kernel: ${kernel}\n${fields}`, 'guest.yaml'))
  }

  /** A guest with a disk over one of a megabyte. */
  async makeWithDisk(name: string): Promise<void> {
    const diskPath = join(this.path, 'image.raw')
    writeFileSync(diskPath, Buffer.alloc(1 << 20, 'base'))
    await createGuest(this.store, name, await parseGuestFile('image: debian:12\nmemory: 1 GiB\n', 'guest.yaml'), { kernel: Buffer.from('IMAGE KERNEL'), diskPath })
  }
}
