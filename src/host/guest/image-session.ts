import { startImageGuest } from './image-guest.ts'
import type { ImageGuest, ImageGuestOptions } from './image-guest.ts'
import type { SessionRequest, WindowSize } from './protocol.ts'
import type { GuestSession, SessionStreams } from './session.ts'

/** One session in a fresh guest of an image. */
export interface ImageSessionOptions extends ImageGuestOptions, SessionStreams {
  readonly request: SessionRequest
}

/** A running session. */
export interface ImageSession {
  /** As GuestSession.status; settled when the guest has powered off. */
  readonly status: Promise<number>
  resize(size: WindowSize): void
}

/** Boots the image and runs the session in it. Throws what startImageGuest throws. */
export async function startImageSession(options: ImageSessionOptions): Promise<ImageSession> {
  const guest = await startImageGuest(options)
  const session = guest.run(options.request, options)
  return { status: finish(guest, session), resize: size => session.resize(size) }
}

async function finish(guest: ImageGuest, session: GuestSession): Promise<number> {
  const status = await session.status
  guest.powerOff()
  await guest.exited
  return status
}
