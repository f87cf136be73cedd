import { MarkerReader } from '../markers.ts'
import type { GuestReport } from '../measure.ts'

/**
 * The console of a guest that runs in this process, for the process that measures it: the text goes to stdout, and at each marker a
 * GuestReport with the guest instructions so far goes by IPC. Ends the process when its parent is gone.
 */
export class GuestConsole {
  readonly #reader: MarkerReader

  constructor(countInstructions: () => number) {
    this.#reader = new MarkerReader(({ event, workload }) => {
      process.send?.({ event, workload, instructions: countInstructions() } satisfies GuestReport)
    })
    process.on('disconnect', () => process.exit())
  }

  write(text: string): void {
    this.#reader.push(text)
    process.stdout.write(text)
  }
}
