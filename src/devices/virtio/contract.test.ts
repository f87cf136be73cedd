/** Every virtio device under the contract suite of all devices. */
import { deviceContract } from '../testing/contract.ts'
import type { World } from '../testing/contract.ts'
import type { Random } from '../../base/testing/random.ts'
import { VirtioBalloon } from './balloon.ts'
import { Feature } from './bits.ts'
import { VirtioBlock } from './block/block.ts'
import { RequestType } from './block/block-request.ts'
import { ConsoleFeature, VirtioConsole } from './console/console.ts'
import type { VirtioDevice } from './device.ts'
import type { DiskTransfer } from './disk-transfer.ts'
import { VirtioEntropy } from './entropy.ts'
import { VirtioFileSystem } from './fs/fs.ts'
import type { FileSystemTransfer } from './fs/fs-transfer.ts'
import { NetFeature } from './net/bits.ts'
import { VirtioNet } from './net/net.ts'
import { VirtioPciFunction } from './pci-function.ts'
import { Command } from './scsi/command-block.ts'
import { VirtioScsi } from './scsi/scsi.ts'
import { SocketFeature, VirtioSocket } from './socket/socket.ts'
import { FakeCable } from './testing/fake-cable.ts'
import { FakeDisk } from './testing/fake-disk.ts'
import { FakeFileSystem } from './testing/fake-file-system.ts'
import { FakePort } from './testing/fake-port.ts'
import { GuestPart, guestSubject } from './testing/guest-part.ts'
import type { SavedBackend } from './testing/guest-part.ts'

const RING_FEATURES = [Feature.RING_INDIRECT_DESC, Feature.RING_EVENT_IDX]

function part(world: World, device: VirtioDevice, backend?: SavedBackend): GuestPart {
  const line = world.line()
  const messages = { sendMessage: (address: number, data: number) => { world.events.push(`${address} ${data}`) } }
  const window = () => ({ moveTo: (address: number | null) => { world.events.push(`move ${address}`) } })
  return new GuestPart((memory) => new VirtioPciFunction(device, { memory, messages, line, window }), backend)
}

deviceContract('virtio entropy', (world) => {
  const device = new VirtioEntropy({ fill: (bytes) => bytes.fill(0x33) })
  return guestSubject(part(world, device), RING_FEATURES, 1, (random) => ({ readable: [], writable: [random.below(512), 7] }))
})

const text = (random: Random): string => 'abcdefghijklmnopqrstuvwxyz'.repeat(40).slice(random.below(1000))

deviceContract('virtio console', (world) => {
  const port = new FakePort()
  port.reset()
  const device = new VirtioConsole({ console: port })
  const plan = (random: Random, queue: number) =>
    queue === 0 ? { readable: [], writable: [random.below(200), 9] } : { readable: [random.below(512), 9], writable: [] }
  return guestSubject(part(world, device, port), [...RING_FEATURES, ConsoleFeature.SIZE], 2, plan, [
    (random) => { port.room = random.below(900); device.ports[0].transmitReady() },
    (random) => { port.input = text(random); device.ports[0].receiveReady() },
  ], [{ setLevel: (on) => device.resize(on ? 80 : 0, on ? 25 : 0) }])
})

deviceContract('virtio console with ports', (world) => {
  const port = new FakePort()
  port.reset()
  const device = new VirtioConsole({ ports: [{ name: 'one', backend: port }, { name: 'two', backend: port }] })
  const plan = (random: Random, queue: number) => {
    const control = [random.below(3), random.below(8) | random.below(2) << 16]
    return queue % 2 === 0
      ? { readable: [], writable: [random.below(200), 9] } : { readable: [random.pick([8, 100]), 9], writable: [], header: control }
  }
  return guestSubject(part(world, device, port), [...RING_FEATURES, ConsoleFeature.MULTIPORT], 6, plan, [
    (random) => { port.room = random.below(900); device.ports[random.below(2)].transmitReady() },
    (random) => { port.input = text(random); device.ports[random.below(2)].receiveReady() },
  ], device.ports.map((each) => ({ setLevel: (on) => each.setConnected(on) })))
})

deviceContract('virtio balloon', (world) => {
  const device = new VirtioBalloon({ releasePages: (ranges) => { world.events.push(ranges.join(' ')) } }, {
    resized: (bytes) => { world.events.push(`size ${bytes}`) },
    statistics: (statistics) => { world.events.push(Object.keys(statistics).join(' ')) },
  })
  const plan = (random: Random, queue: number) => queue === 3
    ? { readable: [], writable: [0x200, 0x200] }
    : { readable: [random.below(60), 100], writable: [], header: [random.below(16), random.below(20), random.below(10)] }
  const wires = [{ setLevel: (on: boolean) => device.setTarget(on ? 1 << 20 : 0) }]
  return guestSubject(part(world, device), [...RING_FEATURES, ...device.features], 4, plan, [() => device.requestStatistics()], wires)
})

deviceContract('virtio socket', (world) => {
  const device = new VirtioSocket(3, { accept: (port) => { world.events.push(`port ${port}`); return null } })
  const plan = (random: Random, queue: number) => {
    const header = [3, 0, 2, 0, random.below(4), random.below(4), random.below(200), 1 | random.below(9) << 16]
    return queue === 1
      ? { readable: [random.pick([44, 60]), 200], writable: [], header } : { readable: [], writable: [random.below(500), 9] }
  }
  return guestSubject(part(world, device), [...RING_FEATURES, SocketFeature.STREAM], 3, plan)
})

deviceContract('virtio net', (world) => {
  const cable = new FakeCable()
  cable.reset()
  const address = Uint8Array.of(2, 0, 0, 0, 0, 1)
  const device = new VirtioNet({ backend: cable, address, pairs: 2 })
  const plan = (random: Random, queue: number) => {
    if (queue === 4) return { readable: [random.pick([3, 4, 8, 10, 14])], writable: [1], header: [netCommand(random), random.below(3)] }
    if (queue % 2 === 0) return { readable: [], writable: [random.below(512), 200] }
    return { readable: [12 + random.below(200), 100], writable: [], header: [random.below(2), random.below(100), 34 | 6 << 16] }
  }
  const give = (random: Random): void => {
    const frame = new Uint8Array(10 + random.below(600)).fill(random.below(3))
    frame.set(random.pick([address, [255, 255, 255, 255, 255, 255], [2], [1]]))
    cable.give(frame, random.below(2) === 0 ? {} : { checksumStart: 34, checksumOffset: 6 })
  }
  const features = [...RING_FEATURES, ...device.features.filter((each) => each <= NetFeature.MQ)]
  return guestSubject(part(world, device, cable), features, 5, plan, [
    (random) => { cable.room = random.below(5); device.ready() }, give, give, () => device.announce(),
  ], [{ setLevel: (on) => device.setLink(!on) }])
})

/** Class and command, and the first two bytes of what follows. */
function netCommand(random: Random): number { return random.below(6) | random.below(3) << 8 | random.below(4) << 16 }

/** Requests under way are the same ones after a restore, but not in the same order. */
function answerOne(random: Random, disk: FakeDisk): void {
  const place = (transfer: DiskTransfer): number => transfer.queue.index * 1000 + transfer.head
  disk.waiting.sort((a, b) => place(a as DiskTransfer) - place(b as DiskTransfer))
  disk.answer(random.below(disk.waiting.length + 1))
}

for (const deferred of [false, true]) {
  deviceContract(`virtio block, ${deferred ? 'answered in its time' : 'answered at once'}`, (world) => {
    const disk = new FakeDisk(1 << 14, { deferred })
    disk.content.fill(0)
    const guest = part(world, new VirtioBlock(disk, { queues: 2 }), disk)
    const plan = (random: Random) => {
      const type = random.pick(Object.values(RequestType))
      const data = random.pick([512, 512, 16])
      const header = [type, 0, random.below(32), 0]
      return type === RequestType.IN || type === RequestType.GET_ID
        ? { readable: [16], writable: [data, 1], header } : { readable: [16, data], writable: [1], header }
    }
    return guestSubject(guest, [...RING_FEATURES, 9, 11], 2, plan, [(random) => answerOne(random, disk)])
  })
}

for (const deferred of [false, true]) {
  deviceContract(`virtio SCSI, answered ${deferred ? 'in its time' : 'at once'}`, (world) => {
    const disk = new FakeDisk(1 << 14, { deferred })
    disk.content.fill(0)
    const guest = part(world, new VirtioScsi([disk]), disk)
    const plan = (random: Random, queue: number) => {
      if (queue === 0) return { readable: [24], writable: [5], header: [random.below(2), random.below(9), 1, 0, 0] }
      return scsiCommand(random)
    }
    return guestSubject(guest, RING_FEATURES, 3, plan, [(random) => answerOne(random, disk)])
  })
}

/** A command block of 32 bytes behind the 19 of its header, as words. */
function scsiCommand(random: Random) {
  const bytes = new Uint8Array(52)
  bytes[0] = 1
  bytes[8] = random.below(3)
  const reads = random.below(2) === 0
  const cdb = reads ? [random.pick([Command.READ_10, Command.INQUIRY, Command.REPORT_LUNS]), 0, 0, 0, 0, random.below(32), 0, 0, 1]
    : [random.pick([Command.WRITE_10, Command.SYNCHRONIZE_CACHE_10, Command.WRITE_SAME_10]), 0, 0, 0, 0, random.below(32), 0, 0, 1]
  bytes.set(cdb, 19)
  const header = Array.from(new Uint32Array(bytes.buffer))
  return reads ? { readable: [51], writable: [108, 512], header } : { readable: [51, 512], writable: [108], header }
}

for (const deferred of [false, true]) {
  deviceContract(`virtio file system, answered ${deferred ? 'in its time' : 'at once'}`, (world) => {
    const server = new FakeFileSystem({ deferred })
    const plan = (random: Random) => ({ readable: [random.pick([40, 80, 9]), 100], writable: random.pick([[], [16], [100, 60]]), header: [random.below(200), random.below(50)] })
    const answer = (random: Random): void => {
      const place = (transfer: FileSystemTransfer): number => transfer.queue.index * 1000 + transfer.head
      server.waiting.sort((a, b) => place(a as FileSystemTransfer) - place(b as FileSystemTransfer))
      server.answer(random.below(server.waiting.length + 1))
    }
    return guestSubject(part(world, new VirtioFileSystem(server), server), RING_FEATURES, 2, plan, [answer])
  })
}
