import type { AddRoutes } from '../context.ts'
import { addAgentRoutes } from './agent.ts'
import { addGuestRoutes } from './guests.ts'
import { addHostRoutes } from './host.ts'
import { addNetworkRoutes } from './networks.ts'
import { addSnapshotRoutes } from './snapshots.ts'

export const ROUTES: readonly AddRoutes[] = [addHostRoutes, addGuestRoutes, addAgentRoutes, addSnapshotRoutes, addNetworkRoutes]
