/** A vsock as people write it: `PATH[,cid=N]`, the path of a Unix socket. */
import { resolve } from 'node:path'
import { hostError } from '../errors.ts'
import { DEFAULT_CID, LARGEST_CID, SMALLEST_CID } from './vsock-order.ts'
import type { VsockOrder } from './vsock-order.ts'

const SHAPE = /^(?<path>[^,\0]+)(,cid=(?<cid>\d{1,10}))?$/

/** Relative paths are those of `folder`. @throws TenonError VSOCK_UNFIT. */
export function parseVsock(text: string, folder: string): VsockOrder {
  const { path, cid = String(DEFAULT_CID) } = SHAPE.exec(text)?.groups ?? {}
  if (path === undefined) throw unfit(text, 'write the PATH of a Unix socket, or PATH,cid=N; the path may hold no comma')
  const isFit = Number(cid) >= SMALLEST_CID && Number(cid) <= LARGEST_CID
  if (!isFit) throw unfit(text, `a guest's cid is ${SMALLEST_CID} to ${LARGEST_CID}`)
  const whole = resolve(folder, path)
  // It is written down, for a guest with a name, and read again.
  if (whole.includes(',')) throw unfit(text, `its folder has a comma in its name: ${whole}`)
  return { path: whole, cid: Number(cid) }
}

export function formatVsock({ path, cid }: VsockOrder): string { return cid === DEFAULT_CID ? path : `${path},cid=${cid}` }

function unfit(text: string, why: string): Error { return hostError('VSOCK_UNFIT', `${JSON.stringify(text)} is no vsock: ${why}`) }
