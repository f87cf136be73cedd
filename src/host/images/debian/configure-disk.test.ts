import { expect, test } from 'vitest'
import { randomOf } from '../testing/random.ts'
import type { ProgressEvent } from '../progress.ts'
import { configureDisk } from './configure-disk.ts'
import type { ConfigurationBoot, ConfigurationGuest, ConfigureOptions } from './configure-disk.ts'
import { ConsoleLines, parseConfigureLine } from './configure-protocol.ts'

class FakeGuest implements ConfigurationGuest {
  readonly console: AsyncIterable<Uint8Array>
  boot: ConfigurationBoot<string> | undefined
  kills = 0
  #release: () => void = () => {}

  /** Prints; where `hangs`, it then does nothing until it is killed. */
  constructor(text: string, hangs = false, piece = 7) {
    const killed = new Promise<void>(resolve => void (this.#release = resolve))
    this.console = (async function* pieces() {
      const bytes = Buffer.from(text)
      for (let at = 0; at < bytes.length; at += piece) yield bytes.subarray(at, at + piece)
      if (hangs) await killed
    })()
  }

  kill(): void {
    this.kills++
    this.#release()
  }

  run(options: Partial<ConfigureOptions<string>> = {}): Promise<void> {
    return configureDisk('the disk', new Uint8Array(3), { start: async boot => Object.assign(this, { boot }), ...options })
  }
}

function failed(pattern: RegExp): unknown {
  return expect.objectContaining({ code: 'IMAGE_CONFIGURATION_FAILED', message: expect.stringMatching(pattern) as string })
}

test('boots the disk with the script as init, and tells how far it is', async () => {
  const events: ProgressEvent[] = []
  const lines: string[] = []
  const guest = new FakeGuest('[    0.1] Linux\r\ntenon-configure: begin\r\nSetting up a (1) ...\r\ntenon-configure: progress 1 2 a\r\ntenon-configure: progress 2 2 libb:amd64\r\ntenon-configure: done\r\n[ 9.0] reboot: Power down')
  await guest.run({ progress: event => events.push(event), log: line => lines.push(line) })
  expect(guest.boot!.commandLine).toBe('root=/dev/nvme0n1 rw console=ttyS0 quiet init=/sbin/tenon-configure')
  expect(events.map(event => (event.kind === 'step' ? [event.done, event.total, event.what] : []))).toEqual([[1, 2, 'a'], [2, 2, 'libb:amd64']])
  expect([lines[0], lines.at(-1)]).toEqual(['[    0.1] Linux', '[ 9.0] reboot: Power down'])
  expect(guest.kills).toBeGreaterThan(0)
})

test('a script that fails, a guest that ends too early, and one that hangs are errors', async () => {
  await expect(new FakeGuest('dpkg: error processing\ntenon-configure: failed dpkg --configure -a\ntenon-configure: done\n').run())
    .rejects.toEqual(failed(/dpkg --configure -a; its last lines were:\ndpkg: error processing$/))
  await expect(new FakeGuest('tenon-configure: begin\nKernel panic').run()).rejects.toEqual(failed(/ended before it was done; [^]*Kernel panic/))
  await expect(new FakeGuest('x\n', true).run({ silenceMs: 30 })).rejects.toEqual(failed(/printed nothing for 0\.03 seconds/))
})

test('ends when it is told to', async () => {
  const controller = new AbortController()
  const guest = new FakeGuest('x\n', true)
  const run = guest.run({ signal: controller.signal, log: () => controller.abort(new Error('enough')) })
  await expect(run).rejects.toThrow('enough')
  expect(guest.kills).toBeGreaterThan(0)
})

test('a console of random bytes is lines that are bounded and clean', () => {
  const random = randomOf(4)
  const lines = new ConsoleLines()
  const seen: string[] = []
  for (let round = 0; round < 300; round++) {
    seen.push(...lines.take(Uint8Array.from({ length: random(200) }, () => (random(40) === 0 ? 10 : random(256)))))
  }
  for (let round = 0; round < 50; round++) seen.push(...lines.take(new Uint8Array(1000).fill(65)))
  seen.push(lines.finish())
  for (const line of seen) {
    expect(line.length).toBeLessThanOrEqual(4096)
    expect(line).not.toMatch(/\p{Cc}/u)
    parseConfigureLine(line)
  }
  expect(parseConfigureLine('tenon-configure: progress 1 x')).toBeUndefined()
})
