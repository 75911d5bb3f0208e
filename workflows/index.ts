export { adoptTarget } from './adopt-target';
export { changeRequest } from './change-request';
export { deliverNotification } from './deliver-notification';
export { deployPromotion } from './deploy-promotion';
export { pruneBackups, pruneRecord } from './prune';
export { reconcile } from './reconcile';
export { recoverDeployment } from './recover-deployment';
export { wakeSleepers } from './wake-sleepers';
