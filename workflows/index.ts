export { changeRequest } from './change-request';
export { deployPromotion } from './deploy-promotion';
export { reconcile } from './reconcile';
export { recoverDeployment } from './recover-deployment';
