/** Debian's kernel and its stock drivers with our virtio devices. The image is that of the user's cache, fetched if it is not there. */
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { buildPartialEngine } from '../../src/cpu/interpreter/build-engine.ts'
import { PROFILE } from '../../src/cpu/interpreter/profile-data.ts'
import type { BalloonStatistics } from '../../src/machine/balloon.ts'
import type { GuestStream, StreamEnd } from '../../src/machine/socket.ts'
import { FakeDisk } from '../../src/devices/virtio/testing/fake-disk.ts'
import { FakePort } from '../../src/devices/virtio/testing/fake-port.ts'
import { KERNEL_DECOMPRESSORS } from '../../src/host/images/decompress.ts'
import { openImage } from '../../src/host/images/open-image.ts'
import { imageUnavailable } from '../images.ts'
import { openKernel } from '../../src/vmm/boot/kernel-image.ts'
import type { BootConfig } from '../../src/vmm/machine.ts'
import { ConsoleGuest } from '../../src/vmm/testing/console-guest.ts'
import type { VirtioConfig } from '../../src/vmm/virtio.ts'

const LONG = 900_000
const MEMORY = 256 << 20
const MOUNTS = '/bin/busybox --install -s /bin; mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev'

const unavailable = await imageUnavailable()
const hasCompiler = spawnSync('gcc', ['--version']).status === 0
if (!hasCompiler) process.stderr.write('skipped: streams of sockets: there is no gcc to build the program for the guest\n')

let engine: WebAssembly.Module
let boot: BootConfig
beforeAll(async () => {
  if (unavailable) return
  engine = new WebAssembly.Module(buildPartialEngine(PROFILE).bytes as Uint8Array<ArrayBuffer>)
  const image = await openImage('busybox')
  const kernel = await openKernel(image.kernel, KERNEL_DECOMPRESSORS)
  boot = { kernel, initrd: image.initrd, commandLine: 'console=ttyS0 quiet panic=-1 rdinit=/bin/busybox -- sh' }
}, LONG)

/** Takes slowly what the guest sends and gives it back; at first what is held. */
class EchoEnd implements StreamEnd {
  held: string[] = []
  echoes = true
  passed = 0
  readonly heard: string[] = []

  transmit(bytes: Uint8Array): number {
    const count = Math.min(bytes.length, 3000)
    if (this.echoes) this.held.push(Buffer.from(bytes.subarray(0, count)).toString('latin1'))
    this.passed += count
    return count
  }

  receive(into: Uint8Array): number {
    const text = this.held.shift() ?? ''
    const count = Math.min(into.length, text.length)
    into.set(Buffer.from(text.slice(0, count), 'latin1'))
    if (count < text.length) this.held.unshift(text.slice(count))
    return count
  }

  opened(): void { this.heard.push('opened') }
  ended(): void { this.heard.push('ended') }
  closed(reason: string): void { this.heard.push(reason) }
}

async function start(virtio: VirtioConfig, commandLine = '', between: () => void = () => undefined): Promise<ConsoleGuest> {
  const guest = new ConsoleGuest({ memory: MEMORY, engine, virtio })
  guest.between = between
  guest.machine.boot({ ...boot, commandLine: boot.commandLine.replace(' --', ` ${commandLine} --`) })
  await guest.runUntil((console) => console.includes('/ # '))
  await guest.command(MOUNTS)
  return guest
}

describe.skipIf(unavailable)('Debian with many virtio devices', () => {
  const disk = new FakeDisk(24 << 20)
  const programDisk = new FakeDisk(4 << 20)
  const units = [new FakeDisk(8 << 20), new FakeDisk(16 << 20, { readOnly: true, blockSize: 4096 })]
  const [console, agent, other] = [new FakePort(), new FakePort(), new FakePort()]
  const streams: GuestStream[] = []
  const accepted = new EchoEnd()
  let guest: ConsoleGuest

  beforeAll(async () => {
    guest = await start({
      disks: [{ backend: disk, queues: 2 }, { backend: programDisk }], scsiUnits: units, console,
      ports: [{ name: 'org.qemu.guest_agent.0', backend: agent }, { name: 'other', backend: other }],
      entropy: { fill: (bytes: Uint8Array) => bytes.fill(0x5a) },
      socket: { guestCid: 42, backend: { accept: (port, stream) => port === 1234 ? (streams.push(stream), accepted) : null } },
    })
    await guest.command('modprobe virtio_pci')
  }, LONG)
  afterEach(() => { guest.between = () => undefined })

  test('reads, writes, flushes and discards a disk', async () => {
    await guest.command('modprobe virtio_blk')
    expect(await guest.command('cat /sys/block/vda/serial /sys/block/vda/size')).toBe(`${disk.serial}${disk.size / 512}\n`)
    expect(await guest.command('grep virtio /proc/interrupts')).toMatch(/PCI-MSI.*virtio\d+-config[^]*PCI-MSI.*virtio\d+-req\.0/)
    expect(await digestIn(guest, '/dev/vda')).toBe(digestOf(disk.content))
    await guest.command('dd if=/dev/urandom of=/dev/vda bs=64k count=64 seek=3')
    await guest.command('dd if=/dev/urandom of=/dev/vda bs=512 count=5 seek=77 conv=fsync')
    expect(disk.log.some((line) => line.startsWith('flush'))).toBe(true)
    await guest.command('blkdiscard -o 1048576 -l 1048576 /dev/vda')
    expect(disk.log.filter((line) => line.startsWith('discard'))).toEqual(['discard 1048576 1048576'])
    await guest.command('echo 3 > /proc/sys/vm/drop_caches')
    expect(await digestIn(guest, '/dev/vda')).toBe(digestOf(disk.content))
    expect(await guest.command('dmesg | grep -ci "i/o error"; true')).toBe('0\n')
  }, LONG)

  test('finds SCSI disks, and reads, writes and unmaps them', async () => {
    await guest.command('modprobe virtio_scsi && modprobe sd_mod && sleep 2')
    // Linux looks at both at the same time: either may be sda.
    const names = (await guest.command('for d in /sys/class/scsi_device/*/device/block/*; do basename $d; done')).trim().split('\n')
    expect(await guest.command(`cd /sys/block; cat ${names.map((name) => `${name}/size ${name}/ro ${name}/queue/logical_block_size`).join(' ')}`))
      .toBe(`${(8 << 20) / 512}\n0\n512\n${(16 << 20) / 512}\n1\n4096\n`)
    expect(await guest.command('cat /sys/block/sda/device/vendor /sys/class/scsi_disk/*/cache_type'))
      .toBe('TENON   \nwrite back\nwrite through\n')
    for (const [index, disk] of units.entries()) expect(await digestIn(guest, `/dev/${names[index]}`)).toBe(digestOf(disk.content))
    const first = `/dev/${names[0]}`
    await guest.command(`dd if=/dev/urandom of=${first} bs=64k count=64 seek=3`)
    await guest.command(`dd if=/dev/urandom of=${first} bs=512 count=5 seek=77 conv=fsync`)
    await guest.command(`blkdiscard -o 1048576 -l 1048576 ${first}; echo 3 > /proc/sys/vm/drop_caches`)
    expect(await digestIn(guest, first)).toBe(digestOf(units[0].content))
    expect(units[0].log.some((line) => line.startsWith('flush'))).toBe(true)
    expect(units[0].log.filter((line) => line.startsWith('discard'))).toEqual(['discard 1048576 1048576  unmap'])
    expect(await guest.command('dmesg | grep -ciE "i/o error|sense key"; true')).toBe('0\n')
  }, LONG)

  test('has a console, named ports and a source of entropy', async () => {
    const { virtio } = guest.machine.platform
    virtio.ports!.ports[0].setConnected(true)
    await guest.command('modprobe virtio_console && modprobe virtio_rng')

    await guest.command('echo to-the-host > /dev/hvc0')
    expect(console.output).toBe('to-the-host\r\n')
    virtio.console!.resize(101, 33)
    expect(await guest.command('stty size < /dev/hvc0')).toBe('33 101\n')
    guest.between = () => {
      console.input ||= 'to-the-guest\n'
      virtio.console!.ports[0].receiveReady()
    }
    expect(await guest.command('head -n 1 < /dev/hvc0', 60_000)).toBe('to-the-guest\n')

    expect(await guest.command('cat /sys/class/virtio-ports/vport*/name')).toBe('org.qemu.guest_agent.0\nother\n')
    const port = (await guest.command('echo /dev/$(basename $(dirname $(grep -l agent /sys/class/virtio-ports/*/name)))')).trim()
    guest.type(`head -c 200000 /dev/zero > ${port}; (head -c 7 && sleep 1) < ${port}; echo agent-""done\n`)
    agent.room = 1000
    guest.between = () => {
      agent.room += 500
      virtio.ports!.ports[0].transmitReady()
      agent.input ||= agent.opened.length > 2 ? 'answer\n' : ''
      virtio.ports!.ports[0].receiveReady()
    }
    await guest.runUntil((text) => text.includes('agent-done\r\n'))
    expect(guest.console).toContain('answer\r\n')
    expect(agent.opened.slice(0, 3)).toEqual([true, false, true])

    guest.between = () => undefined
    expect(await guest.command('cat /sys/class/misc/hw_random/rng_current')).toMatch(/^virtio_rng/)
    expect(await guest.command('head -c 8 /dev/hwrng | hexdump -C | head -n 1')).toMatch(/^00000000 {2}5a 5a 5a 5a 5a 5a 5a 5a/)
  }, LONG)

  test.skipIf(!hasCompiler)('opens streams to the host, and takes some from it', async () => {
    const size = buildProgram(programDisk.content)
    await guest.command('modprobe virtio_blk && modprobe vmw_vsock_virtio_transport')
    await guest.command(`head -c ${size} /dev/vdb > /streams; chmod +x /streams`)
    guest.between = () => { for (const stream of streams) { stream.accept(); stream.transmitReady(); stream.receiveReady() } }
    expect(await guest.command('/streams connect 1234 1000000')).toBe('cid 42: 1000000 bytes came back\n')
    await guest.runUntil(() => accepted.heard.includes('closed'))
    expect([accepted.passed, accepted.heard]).toEqual([1_000_000, ['ended', 'closed']])
    expect(await guest.command('/streams connect 99 1 || true')).toMatch(/connect: Connection reset by peer/)

    const opened = new EchoEnd()
    opened.echoes = false
    opened.held = ['x'.repeat(300_000)]
    guest.type('/streams listen 777\n')
    await guest.runUntil((text) => text.includes('listening\r\n'))
    streams.push(guest.machine.platform.virtio.socket!.open(777, opened)!)
    await guest.runUntil(() => opened.passed === 300_000)
    streams[1].end()
    await guest.runUntil(() => opened.heard.includes('closed'))
    expect(opened.heard).toEqual(['opened', 'ended', 'closed'])
  }, LONG)
})

describe.skipIf(unavailable)('Debian with a virtio device', () => {
  test('works by INTx and with a disk that takes its time', async () => {
    const disk = new FakeDisk(8 << 20, { deferred: true })
    const guest = await start({ disks: [{ backend: disk }] }, 'pci=nomsi', () => disk.answer(disk.waiting.length - 1))
    await guest.command('modprobe virtio_pci && modprobe virtio_blk')
    expect(await guest.command('grep virtio /proc/interrupts')).toMatch(/IO-APIC.*fasteoi.*virtio0/)
    await guest.command('dd if=/dev/urandom of=/dev/vda bs=64k count=100; sync; echo 3 > /proc/sys/vm/drop_caches')
    expect(await digestIn(guest, '/dev/vda')).toBe(digestOf(disk.content))
  }, LONG)

  test('gives memory back, by its balloon and by reports of what is free', async () => {
    const answers: BalloonStatistics[] = []
    const guest = await start({ balloon: { statistics: (each) => answers.push(each) } })
    const { pool } = guest.machine.frames
    const balloon = guest.machine.platform.virtio.balloon!
    const megabytes = (pages: number): number => pages / 256
    await guest.command('modprobe virtio_pci && modprobe virtio_balloon')
    expect(answers.length).toBe(1)
    await guest.command('mount -t tmpfs t /tmp; dd if=/dev/urandom of=/tmp/kept bs=1M count=16')
    const digest = await digestIn(guest, '/tmp/kept')

    const before = pool.freePages
    balloon.setTarget(64 << 20)
    await guest.runUntil(() => balloon.size === 64 << 20)
    expect(balloon.requestStatistics()).toBe(true)
    await guest.runUntil(() => answers.length > 1)
    expect(Number(answers[1].free)).toBeLessThan(120 << 20)
    expect(Number(answers[1].total)).toBeGreaterThan(120 << 20)
    balloon.setTarget(0)
    await guest.runUntil(() => balloon.size === 0)
    expect(await digestIn(guest, '/tmp/kept')).toBe(digest)

    await guest.command('dd if=/dev/zero of=/tmp/junk bs=1M count=60')
    const full = pool.freePages
    expect(megabytes(before - full)).toBeGreaterThan(20)
    await guest.command('rm /tmp/junk; echo 3 > /proc/sys/vm/drop_caches; sleep 5')
    expect(megabytes(pool.freePages - full)).toBeGreaterThan(45)
    expect(await digestIn(guest, '/tmp/kept')).toBe(digest)
    await guest.command('for n in 1 2 3; do dd if=/dev/urandom bs=1M count=30 > /tmp/more; rm /tmp/more; done')
    expect(await guest.command('sha256sum /bin/busybox')).toMatch(/^[0-9a-f]{64} {2}\/bin/m)
  }, LONG)
})

const digestIn = async (guest: ConsoleGuest, file: string): Promise<string> => (await guest.command(`sha256sum ${file}`)).split(' ')[0]
const digestOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** Compiles the guest's program into these bytes; returns its size. */
function buildProgram(into: Uint8Array): number {
  const folder = mkdtempSync(join(tmpdir(), 'tenon-streams-'))
  try {
    execFileSync('gcc', ['-O1', '-static', '-s', '-o', join(folder, 'streams'), fileURLToPath(new URL('streams.c', import.meta.url))])
    const program = readFileSync(join(folder, 'streams'))
    into.set(program)
    return program.length
  } finally {
    rmSync(folder, { recursive: true })
  }
}
