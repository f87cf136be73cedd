import type { CpuModel } from '../../machine/cpu-models.ts'
import type { EngineName } from '../../machine/engines.ts'
import type { SerialOwner, StartMachine } from '../../machine/session.ts'
import type { ConfigurationBoot, ConfigurationGuest } from './configure-disk.ts'

export interface ConfigurationMachine {
  readonly startMachine: StartMachine
  readonly memoryBytes?: number
  readonly cpu?: CpuModel
  readonly engine?: EngineName
  readonly signal?: AbortSignal
}

/** Debian's packages configure in less, but what they write need not wait then. */
const DEFAULT_MEMORY = 1024 * 1024 ** 2

/** Configures in a guest of Tenon's own; the disk is a raw file's path. */
export async function startConfigurationGuest(
  { startMachine, memoryBytes = DEFAULT_MEMORY, cpu, engine, signal }: ConfigurationMachine, { disk, kernel, commandLine }: ConfigurationBoot<string>,
): Promise<ConfigurationGuest> {
  const queue = new ConsoleQueue()
  // The machine takes the kernel's bytes for itself.
  const session = await startMachine({
    memoryBytes, cpu, engine, signal, kernel: kernel.slice(), commandLine, serial: [queue], disks: [{ graph: { kind: 'file', path: disk } }],
  })
  void session.exited.then(() => queue.end())
  return { console: queue, kill: () => session.kill() }
}

/** A serial line as something to iterate over. It takes what comes: the lines are read faster than a guest prints. */
class ConsoleQueue implements SerialOwner, AsyncIterable<Uint8Array> {
  readonly #chunks: Uint8Array[] = []
  #hasEnded = false
  #wake: () => void = () => {}

  receive(bytes: Uint8Array): boolean {
    this.#chunks.push(bytes.slice())
    this.#wake()
    return true
  }

  end(): void {
    this.#hasEnded = true
    this.#wake()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    while (this.#chunks.length > 0 || !this.#hasEnded) {
      yield* this.#chunks.splice(0)
      if (this.#chunks.length === 0 && !this.#hasEnded) await new Promise<void>(resolve => void (this.#wake = resolve))
    }
  }
}
