/**
 * Debian's kernel and its stock drivers with what watches over a machine: the watchdog (wdat_wdt) and pvpanic, and a machine that is reset
 * in place. The image is that of the user's cache, fetched if it is not there.
 */
import { beforeAll, describe, expect, test } from 'vitest'
import { buildPartialEngine } from '../../src/cpu/interpreter/build-engine.ts'
import { PROFILE } from '../../src/cpu/interpreter/profile-data.ts'
import { KERNEL_DECOMPRESSORS } from '../../src/host/images/decompress.ts'
import { openImage } from '../../src/host/images/open-image.ts'
import { openKernel } from '../../src/vmm/boot/kernel-image.ts'
import type { BootConfig } from '../../src/vmm/machine.ts'
import { ConsoleGuest } from '../../src/vmm/testing/console-guest.ts'
import { imageUnavailable } from '../images.ts'

const LONG = 900_000
const MEMORY = 160 << 20
/** What time is made to leap by in a slice, so that nobody waits for a watchdog. */
const LEAP_NS = 4e8
const MOUNTS = '/bin/busybox --install -s /bin; mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev'

const unavailable = await imageUnavailable()

let engine: WebAssembly.Module
let boot: BootConfig
beforeAll(async () => {
  if (unavailable) return
  engine = new WebAssembly.Module(buildPartialEngine(PROFILE).bytes as Uint8Array<ArrayBuffer>)
  const image = await openImage('busybox')
  const kernel = await openKernel(image.kernel, KERNEL_DECOMPRESSORS)
  boot = { kernel, initrd: image.initrd, commandLine: 'console=ttyS0 quiet panic=-1 rdinit=/bin/busybox -- sh' }
}, LONG)

async function start(guest: ConsoleGuest): Promise<void> {
  guest.console = ''
  guest.machine.boot(boot)
  await guest.runUntil((console) => console.includes('/ # '), LONG)
  await guest.command(MOUNTS, LONG)
}

/** Has the guest do something that ends its machine. */
async function endBy(guest: ConsoleGuest, command: string): Promise<void> {
  guest.type(`${command}\n`)
  await expect(guest.runUntil(() => false, LONG)).rejects.toThrow('the guest stopped')
}

describe.skipIf(unavailable)('Debian', () => {
  test('uses the watchdog, is reset in place when it hangs, and says when it panics', async () => {
    const heard: string[] = []
    let leapt = 0
    const guest = new ConsoleGuest({
      memory: MEMORY, engine, hostNow: () => performance.now() * 1e6 + leapt, panicked: (panic) => { heard.push(panic); return 'end' },
    })
    await start(guest)
    await guest.command('modprobe wdat_wdt')
    const shown = 'cd /sys/class/watchdog/watchdog0; cat identity state bootstatus min_timeout max_timeout'
    expect(await guest.command(shown)).toBe('wdat_wdt\ninactive\n0\n1\n6553\n')
    // It reloads in time, and stops in order.
    await guest.command('watchdog -T 60 -t 1 /dev/watchdog; sleep 3')
    expect(Number(await guest.command('cat /sys/class/watchdog/watchdog0/timeleft'))).toBeGreaterThan(30)
    expect(await guest.command('killall watchdog; sleep 1; cat /sys/class/watchdog/watchdog0/state')).toBe('inactive\n')
    await guest.command('watchdog -T 60 -t 1 /dev/watchdog; sleep 1; killall -9 watchdog')
    guest.between = () => { leapt += LEAP_NS }
    await endBy(guest, 'true')
    guest.between = () => undefined
    expect(guest.machine.run(1)).toEqual({ state: 'ended', reason: 'watchdog' })

    guest.machine.reset()
    await start(guest)
    await guest.command('modprobe wdat_wdt && modprobe pvpanic_mmio')
    expect(await guest.command('cat /sys/class/watchdog/watchdog0/bootstatus')).toBe('32\n')
    const capability = 'cat /sys/devices/*/*/QEMU0001:00/capability /sys/devices/*/*/*/QEMU0001:00/capability 2> /dev/null | sort -u'
    expect(await guest.command(capability)).toBe('3\n')
    await endBy(guest, 'echo c > /proc/sysrq-trigger')
    expect([guest.machine.run(1), heard]).toEqual([{ state: 'ended', reason: 'panicked' }, ['panicked']])
    expect(guest.console).toContain('Kernel panic - not syncing: sysrq triggered crash')
  }, LONG)
})
