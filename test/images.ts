import { openImage } from '../src/host/images/open-image.ts'

/** Why the default image cannot be had here (no mirror within reach), or undefined. Says so in a line, for tests that skip then. */
export async function imageUnavailable(): Promise<string | undefined> {
  try {
    await openImage('busybox')
    return undefined
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    process.stderr.write(`skipped: the image busybox cannot be had: ${reason}\n`)
    return reason
  }
}
