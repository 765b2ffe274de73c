"""What a plan for one VM is made of: goals, actions, ordered steps, costs, a model of actions."""
