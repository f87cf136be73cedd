import type { DiskOrder } from '../host/disks/disk-order.ts'
import { KeptDisks } from '../host/disks/kept-disks.ts'
import type { GuestOptions } from '../host/guest/boot.ts'
import { prepareDiskImage } from './prepare-image.ts'
import type { RunRequest } from './run-request.ts'
import { runOnConsole } from './run-kernel.ts'
import type { Running } from './session-terminal.ts'
import type { Surroundings } from './surroundings.ts'

/**
 * Boots an image that has a disk, with its console in this terminal. What the guest writes is kept in memory: over its reboots, and gone
 * when it ends.
 */
export async function runDiskImage(request: RunRequest, options: GuestOptions, surroundings: Surroundings, running: Running): Promise<number> {
  const { mirror, cpu, engine, verbose, append = '' } = request
  const { kernel, diskPath, commandLine, definition } = await prepareDiskImage(request.image, { mirror, cpu, engine, verbose }, surroundings)
  const root: DiskOrder = { graph: { kind: 'overlay', base: { kind: 'file', path: diskPath, readOnly: true } } }
  const keptDisks = new KeptDisks([root, ...options.disks ?? []])
  // A panic resets at once, so that it is seen.
  const words = ['console=ttyS0', 'panic=-1', commandLine, append].join(' ').trim()
  const greeting = `starting ${definition.name}, whose changes last as long as it runs (Ctrl-A x quits, Ctrl-A h helps)`
  try {
    return await runOnConsole(request, { ...options, kernel, commandLine: words, keptDisks }, surroundings, running, greeting)
  } finally {
    await keptDisks.close()
  }
}
