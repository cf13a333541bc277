"""What goes wrong in the field, tried step by step: ``upparat doctor``.

Each step is a function that returns findings. The order of the steps, and what each needs, is one
table: :data:`upparat.doctor.steps.STEPS`. Nothing here needs the reactor.
"""
